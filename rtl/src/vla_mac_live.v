// Lists of the live in blocks of each out block, from the mask words of a packet.
// Does: read the mask word of an out block, write the offset (in block * pitch) of every set bit below
// in_blocks into a list; 16 bits without a set one take one cycle. One list waits while another is used,
// so the first list of a packet is built while its predecessor still runs.
// Does not: know kernels or strips, or keep bits past the mask word (they count as zero).
// Latency: about 3 cycles, and one for each live in block or empty group of 16.
// Handshake: begin_i/ready_o takes a packet. list_ready_o: the next list is complete; list_take_i makes it
// the list that list_index_i reads (same cycle) and ends the previous one.
`default_nettype none
module vla_mac_live #(
  parameter ActAw    = 17,
  parameter ParamAw  = 11,
  parameter MaskBits = 1024  // bits of a parameter word
) (
  input  wire                        clk_i,
  input  wire                        rst_i,
  input  wire                        begin_i,
  output wire                        ready_o,
  input  wire [ParamAw-1:0]          mask_base_i,
  input  wire [11:0]                 in_blocks_i,
  input  wire [11:0]                 out_blocks_i,
  input  wire [13:0]                 pitch_i,
  // parameter memory
  output wire                        param_rd_valid_o,
  output wire [ParamAw-1:0]          param_rd_addr_o,
  input  wire                        param_rd_grant_i,
  input  wire [MaskBits-1:0]         param_rd_data_i,
  // lists
  output wire                        list_ready_o,
  output wire [$clog2(MaskBits):0]   list_count_o,   // of the next list
  output wire [ActAw-1:0]            list_first_o,   // its first entry
  input  wire                        list_take_i,
  input  wire [$clog2(MaskBits)-1:0] list_index_i,   // into the list in use
  output wire [ActAw-1:0]            list_entry_o
);

  localparam IndexBits = $clog2(MaskBits);

  localparam Idle    = 3'd0;  // no packet
  localparam Read    = 3'd1;  // asks for the mask word
  localparam Arrive  = 3'd2;  // the word is on param_rd_data_i
  localparam Scan    = 3'd3;  // one entry, or one empty group, per cycle
  localparam Waiting = 3'd4;  // the list waits to be taken

  reg [2:0]           state_q;
  reg [ParamAw-1:0]   addr_q;
  reg [11:0]          out_left_q;     // out blocks without a list, this one included
  reg [11:0]          in_blocks_q;
  reg [13:0]          pitch_q;
  reg [MaskBits-1:0]  mask_q;         // the group being scanned in its low bits
  reg [11:0]          in_left_q;      // in blocks from this group on
  reg [ActAw-1:0]     group_q;        // offset of the group's first in block
  reg [IndexBits:0]   count_q;
  reg [ActAw-1:0]     first_q;
  reg                 side_q;         // the list being built
  reg                 used_q;         // the list in use
  reg [ActAw-1:0]     entry_q [0:2*MaskBits-1];

  // ---- one group of 16 bits ----
  wire [15:0] group    = in_left_q < 12'd16 ? mask_q[15:0] & ~(16'hFFFF << in_left_q[3:0]) : mask_q[15:0];
  wire [15:0] others   = group & (group - 16'd1);  // without the lowest set bit
  wire [15:0] lowest   = group ^ others;
  wire [3:0]  position = {|(lowest & 16'hFF00), |(lowest & 16'hF0F0), |(lowest & 16'hCCCC), |(lowest & 16'hAAAA)};
  wire        group_end = others == 16'd0;
  wire        scan_end  = group_end && in_left_q <= 12'd16;
  wire        found     = state_q == Scan && group != 16'd0;

  wire [ActAw+17:0] pitches = {{ActAw+4{1'b0}}, pitch_q} * {{ActAw+14{1'b0}}, position};
  wire [ActAw-1:0]  entry   = group_q + pitches[ActAw-1:0];
  wire [ActAw+17:0] sixteen = {{ActAw{1'b0}}, pitch_q, 4'd0};
  wire              unused_high = &{1'b0, pitches[ActAw+17:ActAw], sixteen[ActAw+17:ActAw]};

  assign ready_o          = state_q == Idle;
  assign param_rd_valid_o = state_q == Read;
  assign param_rd_addr_o  = addr_q;
  assign list_ready_o     = state_q == Waiting;
  assign list_count_o     = count_q;
  assign list_first_o     = first_q;
  assign list_entry_o     = entry_q[{used_q, list_index_i}];

  reg [2:0] state_d;
  always @* begin
    state_d = state_q;
    case (state_q)
      Idle:    if (begin_i) state_d = Read;
      Read:    if (param_rd_grant_i) state_d = Arrive;
      Arrive:  state_d = Scan;
      Scan:    if (scan_end) state_d = Waiting;
      Waiting: if (list_take_i) state_d = out_left_q == 12'd1 ? Idle : Read;
      default: state_d = Idle;
    endcase
  end

  always @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= Idle;
      side_q  <= 1'b0;
    end else begin
      state_q <= state_d;
      if (list_take_i) side_q <= !side_q;
    end
  end

  always @(posedge clk_i) begin
    if (list_take_i) used_q <= side_q;
    case (state_q)
      Idle: if (begin_i) begin
        addr_q      <= mask_base_i;
        in_blocks_q <= in_blocks_i;
        out_left_q  <= out_blocks_i;
        pitch_q     <= pitch_i;
      end
      Arrive: begin
        mask_q    <= param_rd_data_i;
        in_left_q <= in_blocks_q;
        group_q   <= {ActAw{1'b0}};
        count_q   <= {IndexBits+1{1'b0}};
        addr_q    <= addr_q + 1'b1;
      end
      Scan: begin
        if (group_end) begin
          mask_q    <= {16'd0, mask_q[MaskBits-1:16]};
          in_left_q <= in_left_q - 12'd16;
          group_q   <= group_q + sixteen[ActAw-1:0];
        end else begin
          mask_q[15:0] <= others;
        end
        if (found) count_q <= count_q + 1'b1;
        if (found && count_q == 0) first_q <= entry;
      end
      Waiting: if (list_take_i) out_left_q <= out_left_q - 12'd1;
      default: ;
    endcase
    if (found) entry_q[{side_q, count_q[IndexBits-1:0]}] <= entry;
  end

endmodule
`default_nettype wire
